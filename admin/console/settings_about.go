package console

var aboutPages = []route{
	get("/settings/retention", showRetention),
	get("/settings/about", showAbout),
}

func showRetention(q *request) error {
	server, err := q.server()
	if err != nil {
		return err
	}
	return q.settings("settings-retention", view{Title: text("settings.retention.title"), Data: server.Retention})
}

func showAbout(q *request) error {
	server, err := q.server()
	if err != nil {
		return err
	}
	return q.settings("settings-about", view{Title: text("settings.about.title"), Data: server})
}
