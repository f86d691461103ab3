"""From figures to a page that people read: sections, tables, pictures, words."""
