"""Every Python imports this first that has the folder among its paths: what the suite starts refuses as the suite does."""

import refusal

refusal.refuse()
