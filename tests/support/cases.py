"""One test of many cases: pytest takes longer for each of a thousand tests than such a case does."""


def over(cases, name=str):
    """Makes a test of a rule: each of ``cases`` keeps it, and the one that does not is told by its ``name``."""

    def decorate(rule):
        def test():
            for case in cases:
                try:
                    rule(case)
                except Exception as error:
                    error.add_note(f"the case: {name(case)}")
                    raise

        test.__name__, test.__doc__ = rule.__name__, rule.__doc__
        return test

    return decorate
