"""What holds for all tests."""

import os

# moto lists hundreds of images otherwise, in each answer that tells of one.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
