package door

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/go-bexpr"
	"github.com/mitchellh/pointerstructure"
)

// maxFilterSteps bounds the work of parsing one filter: enough for a hundred
// comparisons, not for one that is made to be hard to read.
const maxFilterSteps = 1 << 16

// Matcher compiles a filter expression; an empty one matches everything.
func Matcher(filter string) (func(any) (bool, error), error) {
	if strings.TrimSpace(filter) == "" {
		return func(any) (bool, error) { return true, nil }, nil
	}
	eval, err := bexpr.CreateEvaluator(filter, bexpr.WithMaxExpressions(maxFilterSteps))
	if err != nil {
		return nil, refuseFilter("failed to create result paginator: failed to read filter expression", unreadable(filter, err))
	}
	return func(item any) (bool, error) {
		ok, err := eval.Evaluate(item)
		if err != nil {
			return false, refuseFilter("failed to read result page", unusable(filter, err))
		}
		return ok, nil
	}, nil
}

func refuseFilter(what, why string) error {
	return Refuse(http.StatusBadRequest, "%s: %s", what, why)
}

// stopped finds where the parser stopped: line, column and byte.
var stopped = regexp.MustCompile(`^\d+:\d+ \((\d+)\)`)

// unreadable says where a filter stops being one.
func unreadable(filter string, err error) string {
	const how = `write comparisons such as Status == "running", joined by and, or, not`
	found := stopped.FindStringSubmatch(err.Error())
	if found == nil {
		return "it is too long or too deep: " + how
	}
	at, _ := strconv.Atoi(found[1]) // digits
	if rest := strings.TrimSpace(filter[min(at, len(filter)):]); rest != "" {
		return "at column " + column(filter, at) + ", before " + strconv.Quote(short(rest)) + ": " + how
	}
	return "at column " + column(filter, at) + ", at its end, something is missing: " + how
}

// missingField finds which part of a selector an item lacks.
var missingField = regexp.MustCompile(`with name "([^"]+)"`)

// unusable says why a filter can't be asked of the items of a list.
func unusable(filter string, err error) string {
	var number *strconv.NumError
	switch found := missingField.FindStringSubmatch(err.Error()); {
	case errors.Is(err, pointerstructure.ErrNotFound) && found != nil:
		return "at column " + column(filter, strings.Index(filter, found[1])) + ": what is listed has no field " + strconv.Quote(found[1])
	case errors.As(err, &number):
		return "at column " + column(filter, strings.Index(filter, number.Num)) + ": " + strconv.Quote(number.Num) + " is not a value of the field that it is compared with"
	}
	return "the filter " + strconv.Quote(short(filter)) + " can't be used: " + err.Error()
}

// column counts characters from 1; of what isn't found it is the first.
func column(filter string, at int) string {
	return strconv.Itoa(utf8.RuneCountInString(filter[:max(0, min(at, len(filter)))]) + 1)
}

// short is the beginning of a text, enough to recognise it.
func short(text string) string {
	const enough = 40
	if runes := []rune(text); len(runes) > enough {
		return string(runes[:enough]) + "…"
	}
	return text
}
