"""How fast: suites of cases as data, peers in the same process, and what of the machine's peak was used."""
