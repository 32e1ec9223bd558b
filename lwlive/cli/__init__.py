"""The command line: words in, a show, a render or a list out. Nothing else imports it."""
