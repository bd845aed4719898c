// Package clitest holds scripts that type every verb of the command line at a
// real agent and look at what a person sees: headings, sentences and exit
// codes. It has no code but tests.
//
// It must not look behind the command line. Begin reading at TestScripts and
// then at any file of testdata/script.
package clitest
