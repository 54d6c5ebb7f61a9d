//go:build !failpoints

package bot

// Failpoint does nothing, unless the program was built with the tag failpoints:
// then it ends the process without warning when the environment asks for it
// there. It marks the places between two steps that must survive a kill.
func Failpoint(string) {}
