"""The trials of ``scripts/fault_campaign.py``."""
