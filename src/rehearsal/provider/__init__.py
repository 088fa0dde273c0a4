"""Pulumi's AWS provider here: one small module for each service, over boto3.

It knows exactly the resource types that `stacks/` uses, by pulumi-aws's own signatures, and is found
only where `rehearsal.toolchain` puts it on PATH; on AWS the official provider is used.
"""
