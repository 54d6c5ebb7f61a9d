package sim

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// What user/get says about a member (document 90196).
const (
	StatusActive   = 1
	StatusDisabled = 2
	StatusInactive = 4 // invited, never signed in
	StatusLeft     = 5
)

// Person is a member of the corporation.
type Person struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Departments []int    `json:"departments,omitempty"`
	Status      int      `json:"status"`           // zero: StatusActive
	Hidden      bool     `json:"hidden,omitempty"` // outside the app's visible range
	Role        string   `json:"role,omitempty"`   // shown beside the name on the chat page: "坐席 agent"
	Color       string   `json:"color,omitempty"`  // of the avatar, as CSS writes it; empty: the page chooses
	Hints       []string `json:"hints,omitempty"`  // what the chat page offers to say
}

// Department is a node of the corporation's tree. The root has id 1.
type Department struct {
	ID     int    `json:"id"`
	Name   string `json:"name"`
	Parent int    `json:"parentid"`
}

// member is a person and what the person's client shows.
type member struct {
	Person
	chat  []Received
	times []int64 // when the app sent something, for the hourly limit; unix ns
	lost  int     // messages dropped by that limit
}

// reachable reports whether messages of the app get to the member.
func (m *member) reachable() bool {
	return m != nil && !m.Hidden && (m.Status == StatusActive || m.Status == StatusInactive)
}

// WeCom holds userids unique without regard to case (document 90331).
func canonical(id string) string { return strings.ToLower(id) }

// SetPerson adds somebody, or changes somebody of the same id.
func (s *Sim) SetPerson(p Person) {
	if p.Status == 0 {
		p.Status = StatusActive
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.people[canonical(p.ID)]; m != nil {
		m.Person = p
	} else {
		s.people[canonical(p.ID)] = &member{Person: p}
	}
	s.tell(pageEvent{Kind: "people"})
}

// Person returns a member as configured or changed since.
func (s *Sim) Person(id string) (Person, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.people[canonical(id)]; m != nil {
		return m.Person, true
	}
	return Person{}, false
}

// RemovePerson deletes a member from the directory for good.
func (s *Sim) RemovePerson(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.people, canonical(id))
	s.tell(pageEvent{Kind: "people"})
}

// People returns the members as configured, then those who came later: whoever
// set the corporation up knows who is first.
func (s *Sim) People() []Person {
	s.mu.Lock()
	defer s.mu.Unlock()
	people := []Person{}
	for _, m := range s.everybody() {
		people = append(people, m.Person)
	}
	rank := func(p Person) int {
		i := slices.IndexFunc(s.conf.People, func(c Person) bool { return canonical(c.ID) == canonical(p.ID) })
		if i < 0 {
			return len(s.conf.People)
		}
		return i
	}
	slices.SortStableFunc(people, func(a, b Person) int { return rank(a) - rank(b) })
	return people
}

// everybody returns the members in the order of their ids. The caller holds s.mu.
func (s *Sim) everybody() []*member {
	return slices.SortedFunc(maps.Values(s.people), func(a, b *member) int { return cmp.Compare(a.ID, b.ID) })
}

// tagged reports whether the member carries the tag.
func (s *Sim) tagged(m *member, tag int) bool {
	return slices.ContainsFunc(s.conf.Tags[tag], func(id string) bool { return canonical(id) == canonical(m.ID) })
}

// department finds a department. A corporation always has its root.
func (s *Sim) department(id int) (Department, bool) {
	for _, d := range s.conf.Departments {
		if d.ID == id {
			return d, true
		}
	}
	if id == 1 {
		return Department{ID: 1, Name: "公司"}, true
	}
	return Department{}, false
}
