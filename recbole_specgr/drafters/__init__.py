"""Who proposes candidates. A drafter scores all items for a batch of users and knows nothing of what it drafts for."""
