module eagre.invalid/h2spec

go 1.23.0

require github.com/summerwind/h2spec v2.2.1+incompatible

require golang.org/x/net v0.39.0 // indirect

require github.com/spf13/cobra v1.9.1 // indirect

require github.com/fatih/color v1.18.0 // indirect

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/mattn/go-colorable v0.1.13 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/spf13/pflag v1.0.6 // indirect
	golang.org/x/sys v0.32.0 // indirect
	golang.org/x/text v0.24.0 // indirect
)
