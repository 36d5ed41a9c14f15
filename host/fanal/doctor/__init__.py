"""What the doctor looks at: this computer, not the beacon."""
