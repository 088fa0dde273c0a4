"""An EC2 instance is a systemd-nspawn machine."""
