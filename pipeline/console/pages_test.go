package console_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// crowd are n rows.
func crowd(n int) (rows []string) {
	for i := range n {
		rows = append(rows, fmt.Sprintf("Person %d,p%02d,,,", i, i))
	}
	return rows
}

// A held run is shown with its plan; approving applies exactly that plan, and another hash is refused with the reason.
func TestHeldRun(t *testing.T) {
	all := crowd(40)
	o := openOffice(t, all...)
	path, page := o.run()
	o.wants(page, `<span class="state applied">`, "end of file")
	o.wants(o.page("/runs"), `href="`+path+`"`)

	o.write(all[:20]...)
	_, page = o.run()
	old := o.planOf(page)
	o.write(all[:25]...)
	path, page = o.run()
	plan := o.planOf(page)
	o.wants(page, "would deactivate 15 of 40", "deactivate p39: gone from people", `<span class="state held">`)
	o.wants(o.page("/"), "<strong>people</strong> is held: would deactivate 15 of 40", `href="`+path+`"`)
	if only := o.page(path + "?only=P39"); strings.Count(only, "<li>") != 1 {
		t.Errorf("more than what is looked for in\n%s", only)
	}
	if old == plan {
		t.Fatal("two plans have one hash")
	}

	status, body := o.post(path+"/approve", "plan", old)
	if status != http.StatusNotFound {
		t.Errorf("an old plan is approved with %d", status)
	}
	o.wants(body, old+" is not the plan that is held of people", "Try: ")
	if status, body = o.post(path + "/approve"); status < 400 {
		t.Errorf("no plan is approved with %d\n%s", status, body)
	}
	o.wants(o.page(path), `<span class="state held">`)

	if status, to := o.post(path+"/approve", "plan", plan); status != http.StatusSeeOther || to != path {
		t.Fatalf("approve: %d %s", status, to)
	}
	page = o.page(path)
	o.wants(page, `<span class="state applied">`)
	if hashField.MatchString(page) {
		t.Error("what is decided can still be decided")
	}
	o.wants(o.page("/users/p39"), "inactive (source:people)")
	o.wants(o.page("/users/p24"), ">active</span>")
	o.wants(o.log.text(), `"actor":"alice@console"`, "console: approve")
}

// A rejected run names who rejected it; a dry run shows its plan and changes nothing; approval can be asked for.
func TestDecisions(t *testing.T) {
	o := openOffice(t, "Zoe Example,zoe,,,")
	_, page := o.run("dry_run", "true")
	o.wants(page, `<span class="state planned">`, "create zoe (Zoe Example)")
	if status, body := o.get("/users/zoe"); status != http.StatusNotFound || !strings.Contains(body, "no user with the name") {
		t.Errorf("a dry run made a user: %d\n%s", status, body)
	}
	path, page := o.run("require_approval", "true")
	plan := o.planOf(page)
	if status, to := o.post(path+"/reject", "plan", plan); status != http.StatusSeeOther || to != path {
		t.Fatalf("reject: %d %s", status, to)
	}
	o.wants(o.page(path), `<span class="state cancelled">`, "rejected by alice@console")
	if status, body := o.post("/sources/people/cancel"); status != http.StatusNotFound || !strings.Contains(body, "no run of people is going") {
		t.Errorf("cancel without a run: %d\n%s", status, body)
	}
	if status, _ := o.post("/sources/nobody/sync"); status != http.StatusNotFound {
		t.Errorf("sync of an unknown source: %d", status)
	}
	page = o.page("/sources/people")
	o.wants(page, `href="`+path+`"`, `name="dry_run"`, `name="require_approval"`)
	if strings.Contains(page, `http-equiv="refresh"`) {
		t.Error("a page with ticks in a form is loaded again, without them")
	}
	for _, path := range []string{"/nothing", "/sources/nobody", "/runs/people/99", "/users/nobody"} {
		if status, body := o.get(path); status != http.StatusNotFound || !strings.Contains(body, "Try: ") {
			t.Errorf("%s: %d\n%s", path, status, body)
		}
	}
	if status, _ := o.get("/runs/people/one"); status != http.StatusBadRequest {
		t.Errorf("a run without a number: %d", status)
	}
}

// What a directory says is text on every page, and no page and no answer shows a PIN.
func TestHostileValues(t *testing.T) {
	const hostile, turned, pin = "<script>alert(1)</script>", "\u202egnp.exe", "739104"
	o := openOffice(t, hostile+",mallory,0012345678,"+pin+","+`"""><img src=x>"`, turned+",\"<b>\",,,")
	_, page := o.run("require_approval", "true")
	pages := []string{page}
	if status, body := o.post("/runs/people/last/approve", "plan", o.planOf(page)); status != http.StatusSeeOther {
		t.Fatalf("approve: %d\n%s", status, body)
	}
	for _, path := range []string{"/", "/runs", "/runs/people/last", "/sources/people", "/users", "/users?q=0012345678", "/users?q=%3Cscript%3E", "/users/mallory", "/users/%3Cb%3E", "/groups",
		"/api/v1/users", "/api/v1/users/mallory", "/api/v1/runs", "/api/v1/status"} {
		pages = append(pages, o.page(path))
	}
	for _, page := range pages {
		markup := strings.HasPrefix(page, "<!doctype html>")
		for _, bad := range []string{"<script", "<img src=x", "<b></", turned, pin} {
			if strings.Contains(page, bad) && (markup || bad == pin) {
				t.Errorf("%q in\n%s", bad, page)
			}
		}
	}
	o.wants(o.page("/users/mallory"), "&lt;script&gt;alert(1)&lt;/script&gt;", "0012345678", "1, not shown")
	o.wants(o.page("/users?q=0012345678"), ">mallory</a>")
}
