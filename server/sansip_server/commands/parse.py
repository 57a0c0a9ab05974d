import click


@click.command()
def parse(): ...
