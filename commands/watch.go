package commands

import (
	"slices"
	"sync"
	"time"

	"deskbell/store"
)

// watch shows the watcher of a transaction which command is running.
type watch struct {
	mu    sync.Mutex
	key   string
	since time.Time
	tx    *store.Tx
	keys  []string // of every message begun
}

func (w *watch) begin(tx *store.Tx, key string) {
	w.mu.Lock()
	w.tx, w.key, w.since = tx, key, time.Now()
	w.keys = append(w.keys, key)
	w.mu.Unlock()
}

func (w *watch) end() {
	w.mu.Lock()
	w.key = ""
	w.mu.Unlock()
}

// hung names the message whose command has run for longer than limit, unless it
// is the database that keeps it waiting.
func (w *watch) hung(limit time.Duration) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.key != "" && w.tx.Waiting() {
		w.since = time.Now()
	}
	if w.key == "" || time.Since(w.since) < limit {
		return ""
	}
	return w.key
}

// forgive leaves a time out of account.
func (w *watch) forgive(d time.Duration) {
	w.mu.Lock()
	w.since = w.since.Add(d)
	w.mu.Unlock()
}

func (w *watch) begun() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.keys)
}
