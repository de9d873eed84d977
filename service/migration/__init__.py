"""Moves a gallery to another encoder without a photo: plan, backfill, shadow, cut-over, rollback."""
