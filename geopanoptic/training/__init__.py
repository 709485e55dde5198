"""How networks learn: ``recipe`` from a configuration to a bundle, ``finetuning`` from a person's own labels; ``datasets``,
``samples`` and ``synthetic`` are where labelled ground comes from, ``grouping`` and ``kinds`` are fitted afterwards."""
