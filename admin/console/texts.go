package console

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"path"
	"strconv"
	"strings"
)

// The texts of the console: every file is an object of key and text, where {0}
// stands for the first argument. A text that depends on a number has forms,
// {"one": ..., "other": ...}, and is chosen by its first argument. A further
// language is a further folder.

//go:embed texts/*.json
var textFiles embed.FS

// form is a text, or its forms by number.
type form struct{ One, Other string }

func (f *form) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &f.Other) == nil {
		return nil
	}
	forms := struct{ One, Other string }{}
	err := json.Unmarshal(b, &forms)
	*f = form(forms)
	return err
}

var texts = readTexts()

func readTexts() map[string]form {
	out := map[string]form{}
	files, err := textFiles.ReadDir("texts")
	if err != nil {
		panic(err)
	}
	for _, file := range files {
		b, err := textFiles.ReadFile(path.Join("texts", file.Name()))
		if err != nil {
			panic(err)
		}
		var area map[string]form
		if err := json.Unmarshal(b, &area); err != nil {
			panic(fmt.Errorf("%s: %w", file.Name(), err))
		}
		for key, f := range area {
			if _, twice := out[key]; twice {
				panic(fmt.Errorf("%s: the text %s is there twice", file.Name(), key))
			}
			out[key] = f
		}
	}
	return out
}

// text is a text with its arguments in place. A key without one is shown as it
// is, which a test looks for.
func text(key string, args ...any) string {
	s, err := textOrError(key, args...)
	if err != nil {
		return key
	}
	return s
}

func textOrError(key string, args ...any) (string, error) {
	f, ok := texts[key]
	if !ok {
		return "", fmt.Errorf("there is no text %q", key)
	}
	s := f.Other
	if f.One != "" && len(args) > 0 && fmt.Sprint(args[0]) == "1" {
		s = f.One
	}
	for i, a := range args {
		s = strings.ReplaceAll(s, "{"+strconv.Itoa(i)+"}", shownArgument(a))
	}
	return s, nil
}

func shownArgument(a any) string {
	switch v := a.(type) {
	case int, int64:
		return number(v)
	case template.HTML:
		return string(v)
	}
	return fmt.Sprint(a)
}

// label is the text of a value of an enumeration, such as state.pre_enrolled.
// One that has none yet, because the API is newer, is shown as it is.
func label(kind string, value any) string {
	if f, ok := texts[kind+"."+fmt.Sprint(value)]; ok {
		return f.Other
	}
	return strings.ReplaceAll(fmt.Sprint(value), "_", " ")
}

// number groups the digits of a whole number.
func number(v any) string {
	s := fmt.Sprint(v)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
