package main

import "github.com/alecthomas/kingpin/v2"

// addCompletion replaces kingpin's scripts for shells. The program has a default
// command, so kingpin would treat a partial command as an argument of that one. The
// shell itself filters the possible words by their prefix.
func addCompletion() {
	kingpin.BashCompletionTemplate = bashCompletion
	kingpin.ZshCompletionTemplate = zshCompletion
}

const bashCompletion = `_{{.App.Name}}_bash_autocomplete() {
    local word words=() current=${COMP_WORDS[COMP_CWORD]}
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $word == = ]] || words+=("$word") # bash takes --flag=value apart
    done
    [[ $current == = ]] && current=
    if [[ $current == -* || ${words[-1]} == --* ]]; then
        words+=("$current")
    fi
    COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" --completion-bash "${words[@]}")" -- "$current"))
}
complete -F _{{.App.Name}}_bash_autocomplete -o default {{.App.Name}}
`

const zshCompletion = `#compdef {{.App.Name}}

_{{.App.Name}}() {
    local current=${words[CURRENT]} before=("${(@)words[2,CURRENT-1]}")
    if [[ $current == -* || ${before[-1]} == --* ]]; then
        before+=("$current")
    fi
    local matches=($("${words[1]}" --completion-bash "${(@)before}"))
    compadd -a matches
    if [[ $compstate[nmatches] -eq 0 && $current != -* ]]; then
        _files
    fi
}

if [[ "$(basename -- ${(%):-%x})" != "_{{.App.Name}}" ]]; then
    compdef _{{.App.Name}} {{.App.Name}}
fi
`
