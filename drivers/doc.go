// Package drivers is the contract between a node agent and what runs its
// tasks: the values that cross the boundary and the small interfaces behind
// which a driver stands, whether it lives in this process (tests), in a
// subprocess of the same binary, or in a third party's plugin.
//
// It must not know gRPC, HCL, any particular driver or who calls it. Begin
// reading at Driver, then TaskConfig and Catalog.
package drivers
