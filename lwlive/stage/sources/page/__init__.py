"""The page: a web server in a process of its own, which steers the show and shows its pictures."""
