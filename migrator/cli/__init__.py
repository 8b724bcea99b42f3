"""The command line: parse, call the library, show what it says. The only place that knows the terminal."""
