package main

import (
	"strings"
	"text/template"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
)

// addHelp makes the help of a command show only that command, with its examples. It
// also makes --help-man print a manual page.
func addHelp(app *kingpin.Application) {
	app.UsageTemplate(usageTemplate)
	app.UsageFuncs(template.FuncMap{"Roff": roff, "RoffText": roffText, "Version": func() string { return version.Version }})
	kingpin.ManPageTemplate = manTemplate
}

// usageTemplate is the help of one command, or of the program with all its commands.
const usageTemplate = `
{{- with .Context.SelectedCommand -}}
usage: {{$.App.Name}} {{.FullCommand}} [flags]

{{.Help | Wrap 0}}
{{- with .HelpLong}}
{{. | Wrap 0}}{{end}}
{{- with .Flags}}
Flags:
{{. | FlagsToTwoColumns | FormatTwoColumns}}{{end}}
Flags of every command:
{{$.App.Flags | FlagsToTwoColumns | FormatTwoColumns}}
{{- else -}}
usage: {{.App.Name}} [command] [flags]

{{.App.Help | Wrap 0}}
Commands:
{{range .App.Commands}}{{if not .Hidden}}  {{.FullCommand | printf "%-9s"}} {{.Help}}
{{end}}{{end}}
Flags of every command:
{{.App.Flags | FlagsToTwoColumns | FormatTwoColumns}}
{{- range .App.Commands}}{{if not .Hidden}}{{$name := .FullCommand}}{{with .Flags}}
Flags of {{$name}}:
{{. | FlagsToTwoColumns | FormatTwoColumns}}{{end}}{{end}}{{end}}
{{- end -}}
`

const manTemplate = `.TH CHRONY-TRACKER 1 "" "chrony-tracker {{Version | Roff}}" "Chrony Tracker"
.SH NAME
chrony-tracker \- shows how far off this node's clock can be
.SH SYNOPSIS
.B chrony-tracker
[\fIflags\fR] [\fIcommand\fR]
.SH DESCRIPTION
{{.App.Help | RoffText}}
.SH COMMANDS
{{range .App.Commands}}{{if not .Hidden}}.SS {{.FullCommand}}
{{.Help | RoffText}}
{{with .HelpLong}}.PP
{{. | RoffText}}
{{end}}{{range .Flags}}{{template "flag" .}}{{end}}{{end}}{{end -}}
.SH OPTIONS
These go with every command.
{{range .App.Flags}}{{template "flag" .}}{{end -}}
.SH SEE ALSO
.BR chronyd (8),
.BR chronyc (1),
.BR chrony.conf (5)
{{- define "flag"}}{{if not .Hidden}}.TP
{{with .Short}}\fB\-{{. | Char}}\fR, {{end}}\fB\-\-{{if .IsBoolFlag}}[no\-]{{end}}{{.Name | Roff}}{{if not .IsBoolFlag}}\fR=\fI{{.FormatPlaceHolder | Roff}}{{end}}\fR
{{.HelpWithEnvar | RoffText}}
{{end}}{{end}}
`

// roff escapes text for a manual page.
func roff(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
}

// roffText escapes paragraphs. Indented paragraphs keep their line breaks.
func roffText(s string) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(strings.TrimSpace(s), "\n\n") {
		literal := strings.HasPrefix(paragraph, " ")
		if i > 0 {
			b.WriteString("\n.PP\n")
		}
		if literal {
			b.WriteString(".EX\n")
		}
		for j, line := range strings.Split(paragraph, "\n") {
			if j > 0 {
				b.WriteByte('\n')
			}
			if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
				line = `\&` + line
			}
			b.WriteString(roff(line))
		}
		if literal {
			b.WriteString("\n.EE")
		}
	}
	return b.String()
}
