package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/uptrace/bun/driver/pgdriver"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// errRaced means that another transaction got there first; trying again sees
// what it did.
var errRaced = errors.New("somebody else was faster")

// Raced reports whether another transaction got there first, and this one left
// nothing behind: the same again sees what the other did.
func Raced(err error) bool {
	if pg, ok := errors.AsType[pgdriver.Error](err); ok {
		code := pg.Field('C')
		return code == "40001" || code == "40P01"
	}
	return errors.Is(err, errRaced)
}

// taken reports whether err says that a unique index has a row already: index is
// its name, column the last of its columns.
func taken(err error, index, column string) bool {
	if pg, ok := errors.AsType[pgdriver.Error](err); ok {
		return pg.Field('C') == "23505" && pg.Field('n') == index
	}
	lite, ok := errors.AsType[*sqlite.Error](err)
	return ok && lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE && strings.Contains(lite.Error(), column)
}

// errIgnored is a mistake of ours: a statement failed, and the transaction went
// on as if it had not.
var errIgnored = errors.New("a statement failed and its error was ignored")

// Transient reports whether err says nothing about what was asked, only about
// the database at that moment: it is unreachable, shutting down, full, read-only
// or resolving a conflict. The same call may succeed later.
func Transient(err error) bool {
	if err == nil {
		return false
	}
	if pg, ok := errors.AsType[pgdriver.Error](err); ok {
		code := pg.Field('C')
		if code == "25P02" { // an earlier statement failed and its error was ignored: that happens each time
			return false
		}
		switch code[:min(2, len(code))] {
		case "08", "40", "53", "55", "57", "58", "25": // connection, conflict, resources, locks, intervention, system, read-only
			return true
		}
		return false
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM:
			return true
		}
		return false
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, known := range []error{errRaced, context.Canceled, context.DeadlineExceeded, driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
