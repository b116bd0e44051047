"""The whole product in a storm of kills, freezes and lost replies, and an account of what came of it."""
