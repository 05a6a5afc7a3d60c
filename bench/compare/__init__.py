"""Parts of bench/compare.py: side-by-side measurement of Portunus and its peers."""
