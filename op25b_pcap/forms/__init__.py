"""Dialogues by their form: what many sessions have in common is read once.

A form is a dialogue with blanks where names, texts and sizes stand. Kernels write it down beside
what stood in the blanks; `mail` reads one dialogue of each form, and all others of that form get
its row with their own words in it. Whatever is out of the common has no form, and `mail` reads it.
"""
