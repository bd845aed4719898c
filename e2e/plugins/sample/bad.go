//go:build linux

package main

import (
	"os"
	"strings"
	"time"
)

// misbehave answers as the mode says that it should not be done; false leaves
// the call to the driver.
func (p *plugin) misbehave(name string, c *call) (bool, error) {
	short := name[strings.LastIndexByte(name, '/')+1:]
	switch p.mode + " " + short {
	case "version PluginInfo":
		return true, c.send(new(message).number(1, 2).text(2, "v9.9.9").text(3, "0.3.0").text(4, "sample"))
	case "mute PluginInfo", "hang Capabilities", "hang StartTask":
		<-c.ctx.Done()
		return true, nil
	case "crash Fingerprint":
		os.Exit(3)
	case "huge Capabilities", "huge StartTask":
		return true, c.send(new(message).in(1, new(message).text(15, strings.Repeat("x", 64<<20))))
	case "lie StartTask":
		// Another task's name, and no state to find it by.
		return true, c.send(new(message).in(3, new(message).in(2, new(message).text(1, "somebody/else/1")).number(3, 1)))
	case "lie WaitTask", "lie InspectTask":
		return true, c.send(new(message))
	case "lie Fingerprint":
		foreign := new(message).text(1, "kernel.name").in(2, new(message).text(3, "plan9"))
		long := new(message).text(1, "driver.sample.long").in(2, new(message).text(3, strings.Repeat("y", 1<<20)))
		if err := c.send(new(message).in(1, foreign).in(1, long).number(2, 2)); err != nil {
			return true, err
		}
		<-c.ctx.Done()
		return true, nil
	case "flood Fingerprint":
		for n := uint64(0); ; n++ {
			health := new(message).number(2, 1+n%2).text(3, time.Now().String())
			if err := c.send(health); err != nil {
				return true, err
			}
		}
	case "flood TaskEvents":
		for {
			event := new(message).text(2, "nobody").text(3, "nothing").in(4, moment(time.Now())).text(5, strings.Repeat("z", 1<<16))
			if err := c.send(event); err != nil {
				return true, err
			}
		}
	}
	return false, nil
}
