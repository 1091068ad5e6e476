module github.com/chrony-tracker/chrony-tracker

go 1.25.0
