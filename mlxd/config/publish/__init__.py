"""What is generated from the schema: the reference file, the JSON schema, the manual."""
