"""Requests that nobody wrote: made from the document, alone and one after the other, as every role."""
