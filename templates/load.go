package templates

import (
	"errors"
	"fmt"
	html "html/template"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// Load parses everything and refuses a set in which the languages differ in
// what they define, or a text is empty. All faults are reported together.
func Load() (*Set, error) { return load(files) }

func load(files fs.FS) (*Set, error) {
	s := &Set{Zone: time.Local, Now: time.Now, langs: map[string]*language{}, words: map[string]string{}}
	var faults []error
	for _, lang := range []string{"zh", "en"} {
		l, err := s.parse(files, lang)
		if err != nil {
			faults = append(faults, fmt.Errorf("templates/%s: %w", lang, err))
			continue
		}
		s.langs[lang] = l
		faults = append(faults, l.empty(lang)...)
	}
	if len(s.langs) == 2 {
		faults = append(faults, differences(s.langs["zh"], s.langs["en"])...)
	}
	return s, errors.Join(faults...)
}

// parse reads one language's folder.
func (s *Set) parse(files fs.FS, lang string) (*language, error) {
	l := &language{cards: map[string]*template.Template{}, words: map[string]string{}}
	funcs := s.funcs(l)
	l.texts = template.New("").Funcs(funcs).Option("missingkey=error")
	l.pages = html.New("").Funcs(funcs).Option("missingkey=error")

	entries, err := fs.ReadDir(files, lang)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		body, err := fs.ReadFile(files, path.Join(lang, e.Name()))
		if err != nil {
			return nil, err
		}
		if err := s.add(l, e.Name(), string(body)); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
	}
	return l, nil
}

// add takes in one file, by what its name says it is.
func (s *Set) add(l *language, name, body string) error {
	if name == "words.md" {
		return s.addWords(l, body)
	}
	if key, ok := strings.CutSuffix(name, ".card.json"); ok {
		t, err := template.New(key).Funcs(s.funcs(l)).Option("missingkey=error").Parse(body)
		l.cards[key] = t
		return err
	}
	switch path.Ext(name) {
	case ".md":
		t, err := template.New(name).Funcs(s.funcs(l)).Parse(body)
		if err != nil {
			return err
		}
		for _, d := range t.Templates() {
			if d.Name() == name {
				continue // what stands between the definitions is for whoever edits the file
			}
			// Adding a second definition of a key would silently replace the first.
			if l.texts.Lookup(d.Name()) != nil {
				return fmt.Errorf("%s is defined twice", d.Name())
			}
			if _, err := l.texts.AddParseTree(d.Name(), d.Tree); err != nil {
				return err
			}
		}
		return nil
	case ".html":
		_, err := l.pages.New(name).Parse(body)
		return err
	}
	return errors.New("neither a text, a card nor a page")
}

// addWords takes in lines of the form "online: 在线, 上线": a choice, the word
// this language shows for it, and other words people may use.
func (s *Set) addWords(l *language, body string) error {
	for line := range strings.Lines(body) {
		choice, words, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue // prose between the lines
		}
		for word := range strings.SplitSeq(words, ",") {
			word = strings.TrimSpace(word)
			if l.words[choice] == "" {
				l.words[choice] = word
			}
			word = strings.ToLower(word)
			if other, taken := s.words[word]; taken && other != choice {
				return fmt.Errorf("%q stands for both %s and %s", word, other, choice)
			}
			s.words[word] = choice
		}
	}
	return nil
}

// keys lists what a language defines, each with its kind.
func (l *language) keys() []string {
	var keys []string
	for _, t := range l.texts.Templates() {
		keys = append(keys, "text "+t.Name())
	}
	for name := range l.cards {
		keys = append(keys, "card "+name)
	}
	for _, t := range l.pages.Templates() {
		keys = append(keys, "page "+t.Name())
	}
	for word := range maps.Keys(l.words) {
		keys = append(keys, "word "+word)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func differences(zh, en *language) (faults []error) {
	zhKeys, enKeys := zh.keys(), en.keys()
	for _, k := range zhKeys {
		if !slices.Contains(enKeys, k) {
			faults = append(faults, fmt.Errorf("%s is missing in en", k))
		}
	}
	for _, k := range enKeys {
		if !slices.Contains(zhKeys, k) {
			faults = append(faults, fmt.Errorf("%s is missing in zh", k))
		}
	}
	return faults
}

// empty finds texts that say nothing whatever their data.
func (l *language) empty(lang string) (faults []error) {
	for _, t := range l.texts.Templates() {
		if parse.IsEmptyTree(t.Root) {
			faults = append(faults, fmt.Errorf("text %s is empty in %s", t.Name(), lang))
		}
	}
	return faults
}
