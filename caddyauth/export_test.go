package caddyauth

// Needs is what the page of a step-up asks.
var Needs = (*App).needs
