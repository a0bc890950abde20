package console

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"

	"rollcall/pipeline"
	"rollcall/pipeline/show"
	"rollcall/store"
)

// shownUsers is how many users a page shows. The API has all.
const shownUsers = 200

// users looks for the users who have a text in any property: a name, a card, a personal number.
func (s *site) users(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := patiently(w, r)
	defer cancel()
	data := struct {
		Text, Group string
		Users       []store.User
		More        bool
	}{Text: strings.TrimSpace(r.URL.Query().Get("q")), Group: r.URL.Query().Get("group")}
	q := pipeline.UserQuery{Inactive: true, Text: data.Text, Group: data.Group}
	err := s.client.Users(ctx, q, func(u store.User) error {
		if len(data.Users) == shownUsers {
			data.More = true
			return errEnough
		}
		data.Users = append(data.Users, u)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	slices.SortFunc(data.Users, func(a, b store.User) int { return cmp.Compare(a.Text[store.UserName], b.Text[store.UserName]) })
	return s.write(w, r, http.StatusOK, "users", view{Title: "Users", Section: "users", Data: data})
}

// user shows one user: what the command line shows of him.
func (s *site) user(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	u, err := s.client.User(ctx, r.PathValue("name"))
	if err != nil {
		return err
	}
	data := struct {
		User  store.User
		Facts []show.Fact
	}{u, show.User(u)}
	return s.write(w, r, http.StatusOK, "user", view{Title: show.Plain(u.Text[store.UserName]), Section: "users", Data: data})
}

// shownGroups is how many groups a page shows.
const shownGroups = 2000

// groups lists the groups by their paths.
func (s *site) groups(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := asking(r)
	defer cancel()
	var data struct {
		Groups []pipeline.GroupInfo
		More   bool
	}
	err := s.client.Groups(ctx, func(g pipeline.GroupInfo) error {
		if len(data.Groups) == shownGroups {
			data.More = true
			return errEnough
		}
		data.Groups = append(data.Groups, g)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return s.write(w, r, http.StatusOK, "groups", view{Title: "Groups", Section: "groups", Data: data})
}
