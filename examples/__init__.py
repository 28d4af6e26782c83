"""Whole programs that use vpp_deploy."""
