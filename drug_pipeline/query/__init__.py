"""Predict and rank for people: inputs, gene names, answers with reasons."""
