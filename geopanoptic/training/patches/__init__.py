"""Labelled pieces of ground on their way from a data set to a batch: targets, random changes."""
