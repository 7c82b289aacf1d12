"""`bench history`: what each commit measured, where it stepped, and exports."""
