"""What people see: lines and progress on a terminal, tables, figures."""
