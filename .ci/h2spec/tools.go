//go:build tools

// Package h2spec names the tool that go.mod and go.sum pin; nothing of it is built but the tool.
package h2spec

import _ "github.com/summerwind/h2spec/cmd/h2spec"
