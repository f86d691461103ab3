"""The pseudobulk, plate by plate: planned, summed over files, merged."""
