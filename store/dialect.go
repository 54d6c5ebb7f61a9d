package store

import (
	"strings"

	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
)

// bun leaves NUL out of the texts it writes into SQL, as neither engine can hold
// it. So "cla\x00ss" would find what is called "class", while everything that
// compared, counted or limited the name before had taken it for another one.
// Here it becomes a character that stands for none, and that no name can have.

type pgDialect struct{ *pgdialect.Dialect }

func (d pgDialect) AppendString(b []byte, s string) []byte {
	return d.Dialect.AppendString(b, noNUL(s))
}

type liteDialect struct{ *sqlitedialect.Dialect }

func (d liteDialect) AppendString(b []byte, s string) []byte {
	return d.Dialect.AppendString(b, noNUL(s))
}

func noNUL(s string) string { return strings.ReplaceAll(s, "\x00", "\ufffd") }
