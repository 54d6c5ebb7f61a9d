package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// ErrNotOwner means that there is such a thing, and it is somebody else's.
var ErrNotOwner = errors.New("not the owner")

// Asker is who asks for something that only its owner may do. The master key
// may do it with everybody's.
type Asker struct {
	UserID string // of a person
	Master bool
}

// actor is how the audit trail calls them.
func (o Asker) actor() string {
	if o.Master {
		return "master key"
	}
	return bot.Canonical(o.UserID)
}

// Bot is something that can be shared with people outside the corporation: what
// they are greeted with, and its settings, which are JSON we only pass on.
type Bot struct {
	ID        string
	Owner     string // canonical userid; "" is the master key's
	OwnerUID  string // of the owner; uuid.Nil for the master key's
	Name      string
	Settings  json.RawMessage
	CreatedAt time.Time
}

// Greeting is what of a bot's settings is made for the people it is shared with.
type Greeting struct {
	AvatarURL string
	Welcome   string
	Questions []string
	Safe      map[string]json.RawMessage // of the other settings, the ones that are nobody's secret
}

// safeSettings are all that outsiders get of the settings.
var safeSettings = []string{"language", "enable_thinking", "enable_memori", "tool_response"}

// Greeting reads the settings. What older versions called welcome_message and
// guide_questions counts where the present names are absent.
func (b Bot) Greeting() Greeting {
	g, _ := readGreeting(b.Settings) // it was read when the bot was made
	return g
}

func readGreeting(settings json.RawMessage) (g Greeting, err error) {
	all := map[string]json.RawMessage{}
	if len(settings) > 0 {
		if err := json.Unmarshal(settings, &all); err != nil {
			return g, errors.New("settings: is not an object")
		}
	}
	for name, value := range all {
		if string(value) == "null" {
			delete(all, name) // as if it were not there
		}
	}
	var wrong []string
	read := func(into any, names ...string) {
		for i := len(names) - 1; i >= 0; i-- {
			if value, ok := all[names[i]]; ok && json.Unmarshal(value, into) != nil {
				wrong = append(wrong, names[i])
			}
		}
	}
	g = Greeting{Questions: []string{}, Safe: map[string]json.RawMessage{}}
	read(&g.AvatarURL, "avatar_url")
	read(&g.Welcome, "welcome", "welcome_message")
	read(&g.Questions, "suggested_questions", "guide_questions")
	for _, name := range safeSettings {
		if value, ok := all[name]; ok {
			g.Safe[name] = value
		}
	}
	if len(wrong) > 0 {
		return g, fmt.Errorf("settings.%s: has the wrong type", wrong[0])
	}
	return g, nil
}

const (
	longestName     = 128      // bytes, of a bot or a share
	longestSettings = 64 << 10 // bytes
	deepestSettings = 32       // objects and lists in one another; what holds them in an answer comes on top
)

// depth is how many objects and lists are in one another in valid JSON.
func depth(text json.RawMessage) (deepest int) {
	now, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '{', c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}', c == ']':
			now--
		}
	}
	return deepest
}

// badName says what is wrong with a name, or "".
func badName(name string) string {
	if len(name) > longestName || strings.ContainsFunc(name, unprintable) {
		return fmt.Sprintf("name: is longer than %d bytes or has control characters", longestName)
	}
	return ""
}

// BotError says why there cannot be such a bot or share, in words for whoever
// asked for it.
type BotError struct{ Reason string }

func (e *BotError) Error() string { return e.Reason }

// botRow is a bot at rest.
type botRow struct {
	bun.BaseModel `bun:"table:bots,alias:b"`

	ID        string    `bun:"id,pk"`
	Owner     string    `bun:"owner"`
	Name      string    `bun:"name"`
	Settings  string    `bun:"settings"`
	CreatedAt time.Time `bun:"created_at"`

	OwnerUID string `bun:"owner_uid,scanonly"`
}

func (r botRow) bot() Bot {
	b := Bot{ID: r.ID, Owner: r.Owner, OwnerUID: r.OwnerUID, Name: r.Name, Settings: json.RawMessage(r.Settings), CreatedAt: r.CreatedAt.UTC()}
	if b.OwnerUID == "" {
		b.OwnerUID = uuid.Nil.String()
	}
	return b
}

func selectBots(db bun.IDB, into any) *bun.SelectQuery {
	return db.NewSelect().Model(into).ColumnExpr("b.*").ColumnExpr("COALESCE(p.uid, '') AS owner_uid").Join("LEFT JOIN people AS p ON p.id = b.owner")
}

// NewBot makes a bot. A BotError says why not.
func (tx *Tx) NewBot(ctx context.Context, name string, settings json.RawMessage, by Asker) (Bot, error) {
	if name = strings.TrimSpace(name); name == "" {
		return Bot{}, &BotError{"name: is missing"}
	}
	if wrong := badName(name); wrong != "" {
		return Bot{}, &BotError{wrong}
	}
	if len(settings) > longestSettings {
		return Bot{}, &BotError{fmt.Sprintf("settings: is longer than %d bytes", longestSettings)}
	}
	if depth(settings) > deepestSettings {
		return Bot{}, &BotError{fmt.Sprintf("settings: more than %d levels deep", deepestSettings)}
	}
	if _, err := readGreeting(settings); err != nil {
		return Bot{}, &BotError{err.Error()}
	}
	if len(settings) == 0 || string(settings) == "null" {
		settings = json.RawMessage("{}")
	}
	row := botRow{ID: uuid.NewString(), Name: name, Settings: string(settings), CreatedAt: tx.Now}
	if !by.Master {
		row.Owner = bot.Canonical(by.UserID)
		p, err := tx.person(ctx, row.Owner)
		if err != nil {
			return Bot{}, fmt.Errorf("make a bot: %w", err)
		}
		row.OwnerUID = p.UID
	}
	if _, err := tx.db.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return Bot{}, fmt.Errorf("make a bot: %w", err)
	}
	tx.Audit(AuditEntry{Actor: by.actor(), Action: "bot.create", Target: row.ID})
	return row.bot(), nil
}

// Bot returns a bot by its id.
func (s *Store) Bot(ctx context.Context, id string) (Bot, error) { return findBot(ctx, s.reads, id) }

func findBot(ctx context.Context, db bun.IDB, id string) (Bot, error) {
	var row botRow
	err := selectBots(db, &row).Where("b.id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Bot{}, fmt.Errorf("bot: %w", ErrNotFound)
	}
	if err != nil {
		return Bot{}, fmt.Errorf("bot: %w", err)
	}
	return row.bot(), nil
}

// Bots lists all bots, newest first.
func (s *Store) Bots(ctx context.Context) ([]Bot, error) { return listBots(ctx, s.reads) }

// Bots lists all bots, newest first.
func (tx *Tx) Bots(ctx context.Context) ([]Bot, error) { return listBots(ctx, tx.db) }

func listBots(ctx context.Context, db bun.IDB) ([]Bot, error) {
	var rows []botRow
	if err := selectBots(db, &rows).OrderExpr("b.created_at DESC, b.id DESC").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list bots: %w", err)
	}
	list := make([]Bot, len(rows))
	for i, row := range rows {
		list[i] = row.bot()
	}
	return list, nil
}

// BotsOf lists an owner's latest bots, at most n, newest first.
func (s *Store) BotsOf(ctx context.Context, owner Asker, n int) ([]Bot, error) {
	var rows []botRow
	if err := selectBots(s.reads, &rows).Where("?", owner.owns()).OrderExpr("b.created_at DESC, b.id DESC").Limit(n).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list bots: %w", err)
	}
	list := make([]Bot, len(rows))
	for i, row := range rows {
		list[i] = row.bot()
	}
	return list, nil
}

// BotNamed finds a bot by its id, the beginning of it that ShortID gives, or its
// name, among those of owner first. ErrNotOwner: there is one, of somebody else.
// ErrExists: the name means several.
func (tx *Tx) BotNamed(ctx context.Context, name string, owner Asker) (Bot, error) {
	all, err := listBots(ctx, tx.db)
	if err != nil {
		return Bot{}, err
	}
	var own, others []Bot
	for _, b := range all {
		if id := strings.ToLower(name); b.ID != id && b.ShortID() != id && !strings.EqualFold(b.Name, name) {
			continue
		}
		if b.Owner == bot.Canonical(owner.UserID) && b.Owner != "" || owner.Master {
			own = append(own, b)
		} else {
			others = append(others, b)
		}
	}
	switch {
	case len(own) == 1:
		return own[0], nil
	case len(own) > 1:
		return Bot{}, fmt.Errorf("bot: %w", ErrExists)
	case len(others) > 0:
		return Bot{}, fmt.Errorf("bot: %w", ErrNotOwner)
	}
	return Bot{}, fmt.Errorf("bot: %w", ErrNotFound)
}

// ShortID is enough of the id to tell bots apart.
func (b Bot) ShortID() string { return b.ID[:min(shortID, len(b.ID))] }
