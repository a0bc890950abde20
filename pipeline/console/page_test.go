package console

import (
	"bytes"
	"strings"
	"testing"

	"rollcall/pipeline"
	"rollcall/pipeline/show"
	"rollcall/store"
)

// Wherever a page shows text that comes from elsewhere, letters that turn others around are written out.
func TestTurnedLetters(t *testing.T) {
	const turned = "\u202egnp.exe<i>"
	run := store.Run{Source: "people", Number: 1, State: store.Held, Plan: "0123456789abcdef", Reason: turned, Try: turned, Messages: []string{turned}}
	var u store.User
	u.Text[store.UserName], u.Text[store.FullName], u.Label, u.InactiveReason = turned, turned, turned, turned
	u.List[store.Cards.List()] = []store.Value{{V: turned}}
	source := pipeline.SourceStatus{Name: "people", Configured: true, Enabled: true, Schedule: "0 4 * * *", Held: 1, Last: &run}
	failed := run
	failed.State = store.Failed
	for page, data := range map[string]any{
		"status": pipeline.Status{Sources: []pipeline.SourceStatus{source, {Name: "corp", Last: &failed}}, Alarms: []pipeline.Alarm{{Text: turned}},
			Unmailed: []pipeline.Unmailed{{User: turned, Reason: turned, Try: turned}}, Reconcilers: []pipeline.Reconciler{{Name: turned}},
			Processes: []pipeline.Process{{Name: turned, Roles: []string{turned}, Sources: []string{turned}}}},
		"runs":    []store.Run{run},
		"run":     &runView{Run: run, Facts: show.Run(run), Plan: []string{turned}},
		"source":  map[string]any{"Source": source, "Runs": []store.Run{run}},
		"users":   map[string]any{"Users": []store.User{u}, "Text": "", "Group": turned, "More": false},
		"user":    map[string]any{"User": u, "Facts": show.User(u)},
		"groups":  map[string]any{"Groups": []pipeline.GroupInfo{{Path: turned}}, "More": true},
		"problem": &problem{Text: turned, Try: turned},
	} {
		var text bytes.Buffer
		if err := pages[page].Execute(&text, view{Title: page, Data: data}); err != nil {
			t.Errorf("%s: %v", page, err)
		}
		for line := range strings.Lines(text.String()) {
			// Where it goes back to the server it stays as it is: in a link, in a field.
			if strings.Contains(line, "\u202e") && !strings.Contains(line, `type="hidden"`) || strings.Contains(line, "<i>") {
				t.Errorf("%s shows %q", page, line)
			}
		}
		if !strings.Contains(text.String(), `\u202egnp.exe&lt;i&gt;`) {
			t.Errorf("%s does not show the text:\n%s", page, text.String())
		}
	}
}
