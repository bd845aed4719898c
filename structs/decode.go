package structs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// UnmarshalJSON reads a job. Durations may be numbers of nanoseconds, as the
// API writes them, or texts such as "30s", as people do.
func (j *Job) UnmarshalJSON(data []byte) error {
	type plain Job
	err := json.Unmarshal(data, (*plain)(j))
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) || wrong.Value != "string" || wrong.Type != durationType {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return err
	}
	if err := parseDurations(tree, reflect.TypeFor[Job](), "Job"); err != nil {
		return err
	}
	data, err = json.Marshal(tree)
	if err != nil {
		return err
	}
	*j = Job{}
	return json.Unmarshal(data, (*plain)(j))
}

// ReadJSON reads a registration in one pass, where an Unmarshaler has its value
// scanned three times. It doesn't know texts for durations; who gets an error
// reads again with package json, which knows them and says what is wrong.
func (r *JobRegisterRequest) ReadJSON(data []byte) error {
	type plain Job
	in := struct {
		*JobRegisterRequest
		Job *plain
	}{JobRegisterRequest: r}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	r.Job = (*Job)(in.Job)
	return nil
}

// parseDurations replaces texts by nanoseconds wherever t has a duration.
func parseDurations(tree any, t reflect.Type, path string) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch node := tree.(type) {
	case []any:
		if t.Kind() != reflect.Slice {
			return nil
		}
		for i, e := range node {
			if err := parseDurations(e, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, e := range node {
			if err := parseEntry(node, key, e, t, path); err != nil {
				return err
			}
		}
	}
	return nil
}

func parseEntry(node map[string]any, key string, e any, t reflect.Type, path string) error {
	path += "." + key
	switch t.Kind() {
	case reflect.Map:
		return parseDurations(e, t.Elem(), path)
	case reflect.Struct:
		field, ok := t.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, key) })
		if !ok {
			return nil
		}
		text, isText := e.(string)
		if !isText || field.Type != durationType && field.Type != reflect.PointerTo(durationType) {
			return parseDurations(e, field.Type, path)
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf(`read %s: %q is not a duration such as "30s" or "1h"`, path, text)
		}
		node[key] = int64(d)
	}
	return nil
}

var durationType = reflect.TypeFor[time.Duration]()
