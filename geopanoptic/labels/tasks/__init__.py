"""Label work in parts for several annotators: splitting it, and putting it together again."""
