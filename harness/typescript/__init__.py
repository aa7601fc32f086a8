"""TypeScript: what a student has written becomes a server that Node runs, or a sentence that says why not."""
