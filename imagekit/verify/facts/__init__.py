"""Facts that several checks share, by subject; each is read once per view (:func:`imagekit.verify.view.fact`)."""
