package templates

import "testing"

func TestArgs(t *testing.T) {
	got, err := args("A", 1, "B", "x")
	if err != nil || got["A"] != 1 || got["B"] != "x" || len(got) != 2 {
		t.Errorf("args = %v, %v", got, err)
	}
	for _, wrong := range [][]any{{"A"}, {1, "A"}} {
		if _, err := args(wrong...); err == nil {
			t.Errorf("args(%v) was accepted", wrong)
		}
	}
}
